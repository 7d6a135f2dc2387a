"""Keeps what steps made by the key of what they were made from: layers, small values, downloads."""

from image_builder.layers.construction import Construction
from image_builder.layers.layer import Layer
from image_builder.layers.prune import Item
from image_builder.layers.store import DEFAULT_ROOT, Failed, Store
from image_builder.layers.verify import Problem

__all__ = ["DEFAULT_ROOT", "Construction", "Failed", "Item", "Layer", "Problem", "Store"]
