"""The commands below `image-builder archive`: where each is, and what --help says of it. Loaded when called."""

from __future__ import annotations

TABLE = {
    "demo": ("image_builder.cli.archive.demo", "Rebuild two real packages, with nothing set up by hand."),
    "plan": ("image_builder.cli.archive.plan", "What a run would build, and what cannot be built, and why."),
    "run": ("image_builder.cli.archive.run", "Build all passes, one after the other; goes on where it was stopped."),
    "status": ("image_builder.cli.archive.status", "How far the rebuild is: packages by state, rate, time left."),
    "show": ("image_builder.cli.archive.show", "All that is known of a package: state, attempts, moves."),
    "why": ("image_builder.cli.archive.why", "What a package waits for, and what waits for it."),
    "history": (
        "image_builder.cli.archive.history",
        "Moves that were made, or the builds of a package.",
    ),
    "diff": (
        "image_builder.cli.archive.diff",
        "What differs between two runs: failures by likely cause, times, sizes, dependencies.",
    ),
    "build": ("image_builder.cli.archive.work", "Have a package built again, before all others."),
    "clean": ("image_builder.cli.archive.work", "Forget what became of a package, as if it had never been built."),
    "give-back": ("image_builder.cli.archive.moves", "Try a package again: back to the queue."),
    "cancel": ("image_builder.cli.archive.moves", "Stop a build that runs."),
    "priority": ("image_builder.cli.archive.values", "Set the build priority, for this version only."),
    "permanent-priority": ("image_builder.cli.archive.values", "Set the build priority of this and later versions."),
    "no-build": ("image_builder.cli.archive.moves", "Never build a package here; the second time: do, after all."),
    "failed": ("image_builder.cli.archive.moves", "Judge: it needs another version of the source."),
    "dep-wait": ("image_builder.cli.archive.moves", "Wait until the dependencies named exist."),
    "binnmu": ("image_builder.cli.archive.values", "Build an installed version again, as +bN."),
    "extra-depends": ("image_builder.cli.archive.values", "What the build needs besides its build dependencies."),
    "extra-conflicts": ("image_builder.cli.archive.values", "What the build must not meet."),
    "take": ("image_builder.cli.archive.moves", "Take packages to build them somewhere else."),
    "built": ("image_builder.cli.archive.moves", "Say of a package taken that it was built."),
    "attempted": ("image_builder.cli.archive.moves", "Say of a package taken that its build failed."),
    "uploaded": ("image_builder.cli.archive.moves", "Say of a package taken that its results were handed over."),
    "export": ("image_builder.cli.archive.exchange", "Write the whole database as JSON lines."),
    "import-state": ("image_builder.cli.archive.exchange", "Read an export into a database that is empty."),
    "cycles": ("image_builder.cli.archive.cycles", "Which sources wait for each other, and what would free them."),
    "simulate": ("image_builder.cli.archive.simulate", "How long a rebuild would take, and what it needs."),
    "repository": (
        "image_builder.cli.archive.repository",
        "Show, check and make anew the repository that builds use; useforbuild.",
    ),
    "publish": ("image_builder.cli.archive.publish", "Publish what was built as an APT repository: to a folder or S3."),
    "import": (
        "image_builder.cli.archive.bring",
        "Copy what a rebuild reads of the source archive beforehand, to save bandwidth.",
    ),
    "pages": ("image_builder.cli.archive.pages", "Write the web view as files, for any web server."),
    "serve": ("image_builder.cli.archive.serve", "Show the web view on this machine."),
}
