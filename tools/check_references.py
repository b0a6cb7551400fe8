# SPDX-License-Identifier: GPL-3.0-or-later
"""What the documents refer to exists: files, decisions, equations, sections, settings, options, tests.

    check_references.py ROOT

Read are README.md and its kin, doc/ and the comments of src/.  A name in capitals (NAME, DIR) stands for any.
"""
import glob
import os
import re
import sys

root = sys.argv[1] if len(sys.argv) > 1 else "."
os.chdir(root)
bad = 0


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def report(path, line, what):
    global bad
    bad = 1
    print(f"{path}:{line}: {what}")


documents = [p for p in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md") if os.path.exists(p)]
documents += sorted(glob.glob("doc/*.md") + glob.glob("doc/decisions/*.md") + glob.glob("doc/man/*.5"))
sources = sorted(glob.glob("src/*/*.[ch]"))
layers = [line.split()[0] for line in read("src/LAYERS").splitlines() if line.strip()]
equations = set(re.findall(r"^(?: +|\*\*)\(([A-Z]\d+)\)", read("doc/math.md"), re.M))
settings = {f"{s}.{k}" for f in ("settings.h", "settings_renamed.h")
            for s, k in re.findall(r"X\((\w+), (\w+),", read("src/base/" + f))}
programs = "\n".join(read(p) for p in glob.glob("src/app/*.[ch]") + glob.glob("benches/*") + glob.glob("tools/*") +
                     glob.glob("tests/*/*.sh") + ["meson.build", "Makefile"] if os.path.isfile(p))
FOREIGN = {"--reconfigure"}  # of meson


def headings(path):
    """Titles and numbers of the headings of a document."""
    found = re.findall(r"^#+ (?:(\d+)\. )?(.*)$", read(path), re.M)
    bold = re.findall(r"^(?:- )?\*\*([^*]+)\*\*", read(path), re.M)
    return {n for n, _ in found if n}, [t for _, t in found] + bold


def check_file(path, line, name):
    if re.search(r"[A-Z]{3}", name):
        return
    if re.fullmatch(r"doc/decisions/\d{3}", name):
        name += "-*.md"
    if not glob.glob(name):
        report(path, line, f"{name} does not exist")


def check_section(path, line, document, number, title):
    if not os.path.exists(document):
        return
    numbers, titles = headings(document)
    if number and number not in numbers:
        report(path, line, f"{document} has no section {number}")
    if title and not any(t.startswith(title) for t in titles):
        report(path, line, f'{document} has no section "{title}"')


for path in documents + sources:
    of_source = path in sources
    text = read(path)
    for line, words in enumerate(text.splitlines(), 1):
        for name in re.findall(r"(?<![\w./-])((?:src|tests|benches|doc|tools|data)/[\w./*-]*[\w*/])", words):
            check_file(path, line, name)
        if not of_source:
            for name in re.findall(rf"(?<![\w./-])((?:{'|'.join(layers)})/\w+\.[ch])\b", words):
                if not os.path.exists("src/" + name):
                    check_file(path, line, name)
            for name in re.findall(r"\(([A-Z]\d+)\)", words):
                if name not in equations:
                    report(path, line, f"({name}) is not in doc/math.md")
            for name in re.findall(r"\b((?:particle|algorithm|phasing|converge|runtime)\.[A-Za-z_]\w+)", words):
                if name not in settings and not re.search(r"\.(c|h|sh|md)$", name):
                    report(path, line, f"{name} is no setting")
            for name in re.findall(r"(?<![\w-])(--[a-z][a-z0-9-]+)", words):
                known = [f'"{name[2:]}"', name] + ([f'"{name[5:]}"'] if name.startswith("--no-") else [])
                if name not in FOREIGN and not any(k in programs for k in known):
                    report(path, line, f"{name} is an option of no program here")
            for name in re.findall(r"\b(test_[a-z_0-9]+)", words):
                if not glob.glob(f"tests/*/{name}.*"):
                    report(path, line, f"there is no test {name}")
        for number in re.findall(r"\bdecisions? (\d{3})\b", words):
            check_file(path, line, f"doc/decisions/{number}")
        for name in re.findall(r"!\[[^]]*\]\(([^)]+)\)", words):
            check_file(path, line, os.path.join(os.path.dirname(path), name))
        for number, title in re.findall(r'\((?:section|chapter) (\d+)(?:, "([^"]+)")?[,)]', words):
            if not of_source:
                check_section(path, line, path, number, title)
        for title in re.findall(r'\b(?:section|chapter) "([^"]+)"', words):
            if not of_source:
                check_section(path, line, "doc/formats.md" if path.endswith(".5") else path, "", title)
    joined = re.sub(r"\n[ \t]*\*? ?", " ", text) if of_source else text.replace("\n", " ")
    for document, number, title in re.findall(
            r'\b(doc/[a-z]+\.md)`?,? (?:(?:section|chapter) (\d+)|(?:section |chapter )?"([^"]+)")', joined):
        check_section(path, 1, document, number, title)
sys.exit(bad)
