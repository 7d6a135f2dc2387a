"""The package archive as a build sees it: which suites, frozen how, and which packages apt would choose from them."""
