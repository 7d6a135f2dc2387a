"""Whether build dependencies can be installed, and if not, why: asked of dose-builddebcheck where it is not plain."""
