"""What an archive says it has: Sources, Packages, .dsc files, source trees and .debs, read fast and checked."""
