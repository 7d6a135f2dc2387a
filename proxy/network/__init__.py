"""The one way out of a build: rules, names and self-test for a network namespace, or a redirect on the host."""
