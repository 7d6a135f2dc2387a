"""What is known of every package of a rebuild, kept in SQLite or PostgreSQL."""
