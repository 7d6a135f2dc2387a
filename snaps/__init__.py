"""The client of the snap store: assertions and their verification, channels and cohorts, a lock of revisions, seeds."""
