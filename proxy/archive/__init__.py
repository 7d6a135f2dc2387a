"""What an archive is and says: sources, signed Release files, indices; and freezing them as pins of a lock."""
