/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Rotations.  Layer: math.
 *
 * Quaternions are (w, x, y, z), unit norm; spi_rot_matrix gives the usual active
 * matrix R, row-major.  Two directions of use, doc/math.md (C3):
 *     R(quat): molecule -> laboratory, as stored in files: q_mol = R(quat)^T q_lab;
 *     M = R(quat)^T: detector -> object, used inside: image(p) = W(M q_p). */
#ifndef SPI_MATH_ROT_H
#define SPI_MATH_ROT_H

#include "base/rng.h"

#define SPI_PI 3.14159265358979323846

/** Active matrix of a unit quaternion. */
void spi_rot_matrix(const double quat[4], double R[9]);
/** Unit quaternion (w >= 0) of a rotation matrix. */
void spi_rot_quat(const double R[9], double quat[4]);
/** C = A B.  Here and in the two that follow C may not overlap A or B. */
void spi_rot_mul(const double A[9], const double B[9], double C[9]);
/** C = A^T B. */
void spi_rot_mul_tn(const double A[9], const double B[9], double C[9]);
/** C = A B^T. */
void spi_rot_mul_nt(const double A[9], const double B[9], double C[9]);
/** y = A x. */
void spi_rot_apply(const double A[9], const double x[3], double y[3]);
/** y = A^T x. */
void spi_rot_apply_t(const double A[9], const double x[3], double y[3]);
/** p q, the product of quaternions: R(p q) = R(p) R(q). */
void spi_quat_mul(const double p[4], const double q[4], double pq[4]);
/** Angle of the rotation A^T B, radians in [0, pi]; exact for small angles too. */
double spi_rot_angle_between(const double A[9], const double B[9]);
/** Matrix of a rotation by |v| radians about v. */
void spi_rot_from_vector(const double v[3], double R[9]);
/** Rotation nearest to a matrix (Procrustes, det = +1): maximises trace(R^T A). */
void spi_rot_nearest(const double A[9], double R[9]);
/** Uniform random unit quaternion, Shoemake 1992 (three uniform numbers). */
void spi_rot_random(struct spi_rng *rng, double quat[4]);

/** Rz(phi) Ry(theta): takes the beam axis z to the direction `n` (unit). */
void spi_rot_to_direction(const double n[3], double R[9]);
/** R = R_n Rz(a). */
void spi_rot_view(const double n[3], double a, double R[9]);

#endif
