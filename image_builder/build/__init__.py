"""Carries a plan out: steps in parallel, their logs, and the record of the build."""
