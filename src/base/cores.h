/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * How many cores this process may use.  Layer: base. */
#ifndef SPI_BASE_CORES_H
#define SPI_BASE_CORES_H

/** The cores of its affinity (taskset, a batch system), at most the CPU limit of its
 *  control group and of those above it (a container, systemd), rounded up; 1 ... 1024. */
int spi_cores(void);

/** The limit that control groups set, in cores, rounded up; 0: none.  `membership` is the
 *  process's list of groups (/proc/self/cgroup), `root` the folder where they are mounted
 *  (/sys/fs/cgroup).  Version 2 (cpu.max) and version 1 (cpu.cfs_quota_us over
 *  cpu.cfs_period_us). */
int spi_cores_limit(const char *membership, const char *root);

#endif
