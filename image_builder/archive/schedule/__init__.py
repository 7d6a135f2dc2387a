"""Who is built next, by whom, and what becomes of it: drives executors, keeps its state in the database alone."""
