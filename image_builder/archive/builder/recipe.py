"""How one package is built, as text: what apt reads in the chroot, and what mmdebstrap and sbuild are told. Pure."""

from __future__ import annotations

import hashlib
import shlex
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

from image_builder.archive.builder.assignment import AptSource, Assignment, BuildRepository, Means
from image_builder.archive.model import Base

TOP = "/build"  # the work tree of the sandbox
SOURCE = f"{TOP}/source"
RESULTS = f"{TOP}/results"
CHROOT = f"{TOP}/chroot.tar"
LISTED = f"{TOP}/packages"  # names of what is in a chroot that was made, one a line
# Also in the chroot, under the same names: apt there reads two of them as file: sources, and is set up by the third.
REPOSITORY = f"{TOP}/repository"
LOCAL = f"{TOP}/local"
APT = f"{TOP}/apt"
SOURCES, PREFERENCES, KEYS = f"{APT}/sources.list", f"{APT}/preferences", f"{APT}/keys"
CONFIGURATION = f"{TOP}/sbuild.pl"
USER = "builder"
MAINTAINER = "image-builder <image-builder@localhost>"
HIDES = 1001  # above the 990 of a target release, so that an older version that was built here wins, too
HIDES_ALL = 1002  # what the user brought hides even that

# What makes apt and dpkg quick and strict; all of it is thrown away with the chroot.
CHROOT_OPTIONS = (
    "--dpkgopt=force-unsafe-io",
    "--aptopt=Acquire::Languages none",
    "--aptopt=Acquire::Retries 5",
    "--aptopt=Acquire::Check-Valid-Until false",  # judged when it was pinned
    # What hides the archive's may be older than what mmdebstrap took from there.
    "--aptopt=APT::Get::allow-downgrades true",
)


def source_lines(assignment: Assignment) -> list[str]:
    """The lines of sources.list in the chroot, by what the pass builds against."""
    old = [source for source in assignment.sources if assignment.base != Base.BUILT or source.of_toolchain]
    return [line(source) for source in old] + [f"deb [trusted=yes] file:{at} ./" for _, at in offered(assignment)]


def line(source: AptSource) -> str:
    options = ["trusted=yes"] if source.trusted else []
    options += [f"signed-by={','.join(f'{KEYS}/{key_name(p)}' for p in source.signed_by)}"] if source.signed_by else []
    square = f"[{' '.join(options)}] " if options else ""
    return f"deb {square}{source.uri} {source.suite} {' '.join(source.components)}".rstrip()


def key_name(path: Path) -> str:
    """What a file of keys is called below KEYS. Its suffix stays, since apt goes by it."""
    return hashlib.sha256(str(path).encode()).hexdigest()[:16] + path.suffix


def preferences(assignment: Assignment) -> str:
    """What was built here hides the archive's version of it, whichever is newer; and what the user brought, both."""
    built, local = assignment.repository, assignment.local
    pins = [(built.origin, HIDES)] if built is not None and assignment.base == Base.BOTH else []
    pins += [(local.origin, HIDES_ALL)] if local is not None else []
    return "\n".join(f"Package: *\nPin: release o={origin}\nPin-Priority: {number}\n" for origin, number in pins)


def seen_in_chroot(assignment: Assignment) -> list[str]:
    """The folders of the sandbox that are seen in the chroot, too."""
    return [APT, *(at for _, at in offered(assignment))]


def offered(assignment: Assignment) -> list[tuple[BuildRepository, str]]:
    """The repositories of this machine that its builds may use, with where they are seen."""
    built = assignment.repository if assignment.base != Base.OLD else None
    return [(one, at) for one, at in ((built, REPOSITORY), (assignment.local, LOCAL)) if one is not None]


def bootstrap_lines(assignment: Assignment, *, changed: bool) -> list[str]:
    """What a chroot is made of. changed: something in it was rebuilt, or brought by the user."""
    return source_lines(assignment) if changed else [line(source) for source in assignment.sources]


def bootstrap(assignment: Assignment, target: str, *, changed: bool) -> str:
    """The shell line that makes the chroot: required packages, build-essential, and what the toolchain adds."""
    command = ["mmdebstrap", "--mode=root", "--variant=buildd", "--format=tar"]
    # With the lists that every build's apt asks for; and whoever called us has seen to an emulator.
    command += ["--skip=output/mknod,cleanup/apt/lists,check/qemu"]
    command += [f"--architectures={assignment.build_architecture}", *CHROOT_OPTIONS]
    if assignment.means.packages:
        command.append(f"--include={','.join(assignment.means.packages)}")
    if changed:  # what is read from file: has to be seen in the chroot, too
        command.append("--hook-dir=/usr/share/mmdebstrap/hooks/file-mirror-automount")
    if changed and (text := preferences(assignment)):
        command.append(f'--setup-hook=printf %s {shlex.quote(text)} > "$1/etc/apt/preferences.d/rebuild"')
    command.append(f'--customize-hook=chroot "$1" dpkg-query -W -f "\\${{Package}}\\n" > {LISTED}')
    return shlex.join([*command, assignment.suite, target, "-"])  # sources.list comes on standard input


def set_up_apt() -> str:
    """What is run in a build's chroot first: its sources are those of the pass, whatever it was made of."""
    return (
        f"rm -f /etc/apt/sources.list.d/* && cp {SOURCES} /etc/apt/sources.list"
        f" && cp {PREFERENCES} /etc/apt/preferences.d/rebuild"
    )


def configuration(assignment: Assignment) -> str:
    """sbuild.conf(5) in Perl, in place of the user's and the machine's."""
    means = assignment.means
    environment = dict(means.environment)
    options = [*means.build_options, f"parallel={assignment.parallel}"]
    environment["DEB_BUILD_OPTIONS"] = " ".join(options)
    bound = seen_in_chroot(assignment)
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
    lines.append(f"$external_commands = {{ 'chroot-setup-commands' => [{_perl(set_up_apt())}] }};")
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


def chroot_inputs(assignment: Assignment, *, changed: bool) -> list[str]:
    """All that can change the chroot but the packages themselves, which their own indices name: for its key."""
    means: Means = assignment.means
    return [
        bootstrap(assignment, "", changed=changed),
        *bootstrap_lines(assignment, changed=changed),
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
