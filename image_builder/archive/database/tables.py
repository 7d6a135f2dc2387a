"""The tables as the code sees them; migrations.py makes them."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Double, Integer, MetaData, Table, Text

metadata = MetaData()

runs = Table(
    "runs",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text),
    Column("rebuild", Text),
    Column("stage", Integer),
    Column("base", Text),
    Column("started", Double),
    Column("finished", Double),
    Column("toolchain", Text),
    Column("follows", Integer),
    Column("auto_dep_wait", Boolean),
    Column("configuration", Text),
)

# The columns of `states.Package` in its order, without the two of bd_problems; then what queries sort by.
packages = Table(
    "packages",
    metadata,
    Column("run", Integer, primary_key=True),
    Column("suite", Text, primary_key=True),
    Column("architecture", Text, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("version", Text),
    Column("state", Text),
    Column("previous_state", Text),
    Column("state_change", Double),
    Column("notes", Text),
    Column("builder", Text),
    Column("installed_version", Text),
    Column("binary_nmu", Integer),
    Column("binary_nmu_changelog", Text),
    Column("depends", Text),
    Column("extra_depends", Text),
    Column("extra_conflicts", Text),
    Column("failed", Text),
    Column("old_failed", Text),
    Column("priority_once", Integer),
    Column("priority_permanent", Integer),
    Column("section", Text),
    Column("priority", Text),
    Column("component", Text),
    Column("binaries", Text),
    Column("cause", Text),
    Column("reason", Text),
    Column("not_before", Double),
    Column("last_build_seconds", Double),
    Column("remaining_seconds", Double),
    Column("expected_seconds", Double),
    Column("memory_bytes", BigInteger),
    Column("disk_bytes", BigInteger),
    Column("asked", Integer),  # priority_once + priority_permanent
    Column("static_priority", Integer),  # priority.static_priority by the weights in `settings`
)

# Only what is BD-Uninstallable has a row; long, and read seldom.
bd_problems = Table(
    "bd_problems",
    metadata,
    Column("run", Integer, primary_key=True),
    Column("suite", Text, primary_key=True),
    Column("architecture", Text, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("problem", Text),
    Column("chain", Text),
)

attempts = Table(
    "attempts",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("token", Text),
    Column("run", Integer),
    Column("suite", Text),
    Column("architecture", Text),
    Column("source", Text),
    Column("version", Text),  # of the source
    Column("binary_nmu", Integer),
    Column("worker", Text),  # who took the package
    Column("machine", Text),  # on what it was built, where the worker says so
    Column("started", Double),
    Column("heartbeat", Double),
    Column("lease_until", Double),
    Column("time_limit_seconds", Double),
    Column("expected_seconds", Double),
    Column("expected_memory_bytes", BigInteger),
    Column("expected_disk_bytes", BigInteger),
    Column("alone", Boolean),
    Column("forgiven", Boolean),  # somebody has asked for another try since: not counted any more
    Column("state", Text),  # "live", "finished", "void"
    Column("finished", Double),
    Column("outcome", Text),
    Column("seconds", Double),
    Column("memory_bytes", BigInteger),
    Column("disk_bytes", BigInteger),
    Column("log", Text),
    Column("reason", Text),
)

transactions = Table(
    "transactions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("run", Integer),
    Column("suite", Text),
    Column("architecture", Text),
    Column("source", Text),
    Column("version", Text),
    Column("action", Text),
    Column("previous_state", Text),
    Column("state", Text),
    Column("user", Text),
    Column("real_user", Text),
    Column("time", Double),
    Column("override", Boolean),
    Column("message", Text),
)

# Of builds, not of moves; outlives the runs, since the next rebuild expects the times of this one.
history = Table(
    "history",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("source", Text),
    Column("suite", Text),
    Column("architecture", Text),
    Column("version", Text),
    Column("run", Text),
    Column("outcome", Text),
    Column("seconds", Double),
    Column("memory_bytes", BigInteger),
    Column("disk_bytes", BigInteger),
    Column("worker", Text),
    Column("time", Double),
)

locks = Table(
    "locks", metadata, Column("suite", Text, primary_key=True), Column("architecture", Text, primary_key=True)
)

leases = Table(
    "leases", metadata, Column("name", Text, primary_key=True), Column("holder", Text), Column("until", Double)
)

settings = Table("settings", metadata, Column("name", Text, primary_key=True), Column("value", Text))
