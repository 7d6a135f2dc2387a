"""What logs of failing builds say, in the words of the programs that fail."""

from __future__ import annotations

import pytest

from image_builder.archive import causes

LD = """\
/usr/bin/ld: src/main.o: in function `open_store':
./build/../src/main.c:214:(.text+0x1b4): undefined reference to `zstd_open_v2'
collect2: error: ld returned 1 exit status
make[3]: *** [Makefile:412: tool] Error 1
dh_auto_build: error: make -j2 returned exit code 2
"""
CXX = """\
/usr/bin/ld: CMakeFiles/view.dir/view.cc.o: undefined reference to symbol '_ZTI7QWidget'
/usr/bin/ld: view.cc:(.text._ZN4View4showEv+0x9): undefined reference to `View::paint(QPainter&, int)'
collect2: error: ld returned 1 exit status
"""
TWICE = """\
/usr/bin/ld: b.o:(.bss+0x0): multiple definition of `debug_level'; a.o:(.bss+0x0): first defined here
collect2: error: ld returned 1 exit status
"""
HEADER = """\
In file included from lib/zip.c:30:
lib/zip.h:12:10: fatal error: zlib.h: No such file or directory
   12 | #include <zlib.h>
      |          ^~~~~~~~
compilation terminated.
make[2]: *** [Makefile:903: zip.lo] Error 1
"""
SYNTAX = """\
gcc -DHAVE_CONFIG_H -O2 -std=gnu23 -c -o bool.o bool.c
bool.c:7:13: error: cannot use keyword 'false' as enumeration constant
make[1]: *** [<builtin>: bool.o] Error 1
"""
WERROR = "parse.c:88:20: error: 'strncpy' specified bound 8 equals destination size [-Werror=stringop-truncation]\n"
DECLARED = "io.c:19:3: error: implicit declaration of function \u2018isatty\u2019 [-Wimplicit-function-declaration]\n"
CRASH = "during RTL pass: expand\nmatrix.c:40:1: internal compiler error: in expand_expr_addr_expr_1, at expr.cc:8738\n"
PYTHON_TESTS = """\
=================================== FAILURES ===================================
E       assert 3 == 4
FAILED tests/test_core.py::test_add - assert 3 == 4
dh_auto_test: error: pybuild --test -i python3.13 returned exit code 13
"""
CHECK = """\
# FAIL:  2
make[4]: *** [Makefile:1204: check-TESTS] Error 1
dh_auto_test: error: make -j2 check "TESTSUITEFLAGS=-j2" VERBOSE=1 returned exit code 2
"""
MODULE = "  File \"setup.py\", line 3, in <module>\nModuleNotFoundError: No module named 'distutils'\n"
INSTALL = """\
dh_install: warning: Cannot find (any matches for) "usr/lib/*/libfoo.a" (tried in ., debian/tmp)
dh_install: error: missing files, aborting
"""
SYMBOLS = """\
dpkg-gensymbols: error: some symbols or patterns disappeared in the symbols file: see diff output below
dh_makeshlibs: error: failing due to earlier errors
"""
SHLIBS = "dpkg-shlibdeps: error: cannot find library libbar.so.3 needed by debian/foo/usr/bin/foo\n"
CONFIGURE = "checking for GTK... no\nconfigure: error: Package requirements (gtk4) were not met\n"
CMAKE = "CMake Error at CMakeLists.txt:12 (find_package):\n  Could not find a package configuration file\n"
NETWORK = "fatal: unable to access 'https://example.org/x.git/': Could not resolve host: example.org\n"
LIBRARY = "/usr/bin/ld: cannot find -lsqlite3: No such file or directory\ncollect2: error: ld returned 1 exit status\n"
RUST = "error[E0432]: unresolved import `libc::time64_t`\n --> src/lib.rs:4:5\nerror: could not compile `tz`\n"
COMMAND = "/bin/sh: 1: help2man: not found\nmake[2]: *** [Makefile:88: tool.1] Error 127\n"
SOURCE = "dpkg-source: error: aborting due to unexpected upstream changes, see /tmp/x.diff\n"
ONLY_MAKE = "make: *** [debian/rules:17: binary] Error 2\n"


@pytest.mark.parametrize(
    ("text", "name", "what", "line"),
    [
        (LD, "undefined-reference", "zstd_open_v2", "undefined reference to `zstd_open_v2'"),
        (CXX, "undefined-reference", "View::paint(QPainter&, int)", "View::paint"),
        (TWICE, "multiple-definition", "debug_level", "first defined here"),
        (LIBRARY, "library-missing", "sqlite3", "cannot find -lsqlite3"),
        (HEADER, "header-missing", "zlib.h", "lib/zip.h:12:10: fatal error: zlib.h: No such file or directory"),
        (SYNTAX, "compiler", "", "bool.c:7:13: error: cannot use keyword"),
        (RUST, "compiler", "", "error[E0432]: unresolved import"),
        (WERROR, "warning", "stringop-truncation", "parse.c:88:20"),
        (DECLARED, "not-declared", "isatty", "io.c:19:3"),
        (CRASH, "compiler-crash", "", "internal compiler error: in expand_expr"),
        (PYTHON_TESTS, "tests", "", "= FAILURES ="),
        (CHECK, "tests", "", "check-TESTS"),
        (MODULE, "python-module", "distutils", "No module named"),
        (INSTALL, "files-missing", "usr/lib/*/libfoo.a", "Cannot find"),
        (SYMBOLS, "symbols", "", "disappeared in the symbols file"),
        (SHLIBS, "shlibs", "libbar.so.3", "needed by debian/foo"),
        (CONFIGURE, "configure", "", "configure: error: Package requirements"),
        (CMAKE, "configure", "", "CMake Error at"),
        (NETWORK, "network", "", "Could not resolve host"),
        (COMMAND, "command-missing", "help2man", "help2man: not found"),
        (SOURCE, "source", "", "unexpected upstream changes"),
        (ONLY_MAKE, "build", "", "debian/rules:17"),
    ],
)
def test_what_a_log_says(text: str, name: str, what: str, line: str) -> None:
    before = "gcc -O2 -c -o a.o a.c\nmake[1]: Entering directory '/build/x-1'\n"
    found = causes.find(before + text)
    assert found is not None
    assert (found.rule.name, found.what) == (name, what)
    assert line in found.line
    assert "\n" not in found.line
    assert found.line in text
    assert causes.says_failure(found.line)


@pytest.mark.parametrize("text", ["", "gcc -c a.c -o a.o", "checking for errors... no", "all 20 tests passed"])
def test_what_is_no_failure(text: str) -> None:
    assert causes.find(text) is None
    assert not causes.says_failure(text)


def test_one_name_has_one_meaning() -> None:
    words: dict[str, set[str]] = {}
    for rule in causes.RULES:
        words.setdefault(rule.name, set()).add(rule.words)
    assert all(len(some) == 1 for some in words.values())
