"""How one package is built, as text: what apt reads in the chroot, and what mmdebstrap and sbuild are told. Pure."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime
from email.utils import format_datetime

from image_builder.archive.builder.assignment import AptSource, Assignment, Means
from image_builder.archive.model import Base

TOP = "/build"  # the work tree of the sandbox
SOURCE = f"{TOP}/source"
RESULTS = f"{TOP}/results"
CHROOT = f"{TOP}/chroot.tar"
REPOSITORY = f"{TOP}/repository"  # also in the chroot: apt there reads it as a file: source
CONFIGURATION = f"{TOP}/sbuild.pl"
USER = "builder"
MAINTAINER = "image-builder <image-builder@localhost>"
HIDES = 1001  # above the 990 of a target release, so that an older version that was built here wins, too

# What makes apt and dpkg quick and strict; all of it is thrown away with the chroot.
CHROOT_OPTIONS = ("--dpkgopt=force-unsafe-io", "--aptopt=Acquire::Languages none", "--aptopt=Acquire::Retries 5")


def source_lines(assignment: Assignment) -> list[str]:
    """The lines of sources.list in the chroot, by what the pass builds against."""
    lines = [] if assignment.base == Base.BUILT else [line(source) for source in assignment.sources]
    if assignment.base != Base.OLD and assignment.repository is not None:
        lines.append(f"deb [trusted=yes] file:{REPOSITORY} ./")
    return lines


def line(source: AptSource) -> str:
    options = ["trusted=yes"] if source.trusted else []
    options += [f"signed-by={','.join(map(str, source.signed_by))}"] if source.signed_by else []
    square = f"[{' '.join(options)}] " if options else ""
    return f"deb {square}{source.uri} {source.suite} {' '.join(source.components)}".rstrip()


def preferences(assignment: Assignment) -> str:
    """What was built here hides the archive's version of it, whichever is newer. Empty: there is nothing to hide."""
    if assignment.base != Base.BOTH or assignment.repository is None:
        return ""
    return f"Package: *\nPin: release o={assignment.repository.origin}\nPin-Priority: {HIDES}\n"


def bootstrap(assignment: Assignment, target: str) -> str:
    """The shell line that makes the chroot: required packages, build-essential, and what the toolchain adds."""
    command = ["mmdebstrap", "--mode=root", "--variant=buildd", "--format=tar", "--skip=output/mknod"]
    command += [f"--architectures={assignment.build_architecture}", *CHROOT_OPTIONS]
    if assignment.means.packages:
        command.append(f"--include={','.join(assignment.means.packages)}")
    if text := preferences(assignment):
        command.append(f'--setup-hook=printf %s {shlex.quote(text)} > "$1/etc/apt/preferences.d/rebuild"')
    return shlex.join([*command, assignment.suite, target, "-"])  # sources.list comes on standard input


def configuration(assignment: Assignment) -> str:
    """sbuild.conf(5) in Perl, in place of the user's and the machine's."""
    means = assignment.means
    environment = dict(means.environment)
    options = [*means.build_options, f"parallel={assignment.parallel}"]
    environment["DEB_BUILD_OPTIONS"] = " ".join(options)
    bound = [REPOSITORY] if assignment.base != Base.OLD and assignment.repository is not None else []
    settings: dict[str, str | int] = {
        "chroot_mode": "unshare",
        "unshare_mmdebstrap_auto_create": 0,
        "build_dir": RESULTS,
        "mailto": "",
        "nolog": 0,
        "run_lintian": 0,
        "run_piuparts": 0,
        "run_autopkgtest": 0,
        "apt_update": 1,
        "apt_distupgrade": 1,
        "apt_clean": 0,
        "clean_source": 0,
        "stalled_pkg_timeout": max(1, int(assignment.time_limit_s // 60)),
        **({"bin_nmu_changelog": entry} if (entry := changelog_entry(assignment)) else {}),
        "purge_build_deps": "never",
        "purge_build_directory": "never",
        "purge_session": "always",
    }
    lines = [f"${name} = {_perl(value)};" for name, value in settings.items()]
    lines.append(
        f"$build_environment = {{ {', '.join(f'{_perl(k)} => {_perl(v)}' for k, v in environment.items())} }};"
    )
    mounts = ", ".join(f"{{ directory => {_perl(path)}, mountpoint => {_perl(path)} }}" for path in bound)
    return "\n".join([*lines, f"$unshare_bind_mounts = [ {mounts} ];", "1;", ""])


def changelog_entry(assignment: Assignment) -> str:
    """Above the source's own changelog, when the binaries get another version. Its date is that of the archive, which
    makes it the packages' SOURCE_DATE_EPOCH: the same rebuild again gives the same bytes."""
    if assignment.binary_version == assignment.version:
        return ""
    date = format_datetime(datetime.fromtimestamp(assignment.epoch, UTC))
    head = f"{assignment.source} ({assignment.binary_version}) {assignment.suite}; urgency=low, binary-only=yes"
    return f"{head}\n\n  * Rebuilt in {assignment.suite}; no source changes.\n\n -- {MAINTAINER}  {date}"


def command(assignment: Assignment) -> list[str]:
    """sbuild's command line."""
    host = assignment.build_architecture if assignment.architecture == "all" else assignment.architecture
    words = ["sbuild", "--batch", f"--chroot={CHROOT}", f"--dist={assignment.suite}"]
    words += [f"--build={assignment.build_architecture}", f"--host={host}"]
    words.append("--no-arch-any" if assignment.architecture == "all" else "--arch-any")
    words.append("--arch-all" if assignment.build_all or assignment.architecture == "all" else "--no-arch-all")
    words += [f"--profiles={','.join(assignment.means.build_profiles)}"] if assignment.means.build_profiles else []
    words += [f"--add-depends={one}" for one in _listed(assignment.extra_depends)]
    words += [f"--add-conflicts={one}" for one in _listed(assignment.extra_conflicts)]
    return [*words, f"{SOURCE}/{assignment.dsc or 'tree'}"]


def shell_line(assignment: Assignment) -> str:
    """What the sandbox runs as root: sbuild as its own user, over a work tree that is that user's."""
    owned = shlex.join([f"{TOP}/{name}" for name in ("tmp", "home", "results", "source")])
    user = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--init-groups", "env", f"HOME={TOP}/home", f"USER={USER}"]
    sbuild = shlex.join([*user, *command(assignment)])
    # sbuild would say for each of its commands that there is no console.
    return f"touch /dev/console; chown -R {USER}: {owned} && chmod 755 {TOP} {owned} && cd {RESULTS} && exec {sbuild}"


def chroot_inputs(assignment: Assignment) -> list[str]:
    """All that can change the chroot but the packages themselves, which their own indices name: for its key."""
    means: Means = assignment.means
    return [
        assignment.suite,
        assignment.build_architecture,
        assignment.base,
        *source_lines(assignment),
        preferences(assignment),
        *means.packages,
        str(assignment.epoch),
    ]


def _listed(relations: str) -> list[str]:
    return [one.strip() for one in relations.split(",") if one.strip()]


def _perl(value: str | int) -> str:
    if isinstance(value, int):
        return str(value)
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
