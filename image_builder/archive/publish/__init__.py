"""What was built, as an APT repository: signed, in a folder or in S3, whole at each moment."""
