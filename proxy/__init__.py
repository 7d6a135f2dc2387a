"""The archive as it was at one instant: its model and verification, a content store, and a proxy that serves it."""
