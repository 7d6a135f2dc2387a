"""The web view of a rebuild: pages made from database and results, as files or answered by a server of our own."""
