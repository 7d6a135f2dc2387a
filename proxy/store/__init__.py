"""The content store's parts: what is coming, what is shared with other hosts, what may go."""
