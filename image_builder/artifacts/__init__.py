"""What a build hands over: artefacts, checksums, manifests."""
