"""Two runs held against each other: what fails now, what was mended, what became slower or larger, or needs more."""
