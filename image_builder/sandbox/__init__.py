"""Runs a command as root in namespaces of its own, over a stack of layers, and ends every process of it."""

from image_builder.sandbox.namespaces import private_mounts, root_is_mount
from image_builder.sandbox.runner import enter, execute
from image_builder.sandbox.spec import Bind, Outcome, Sandbox

__all__ = ["Bind", "Outcome", "Sandbox", "enter", "execute", "private_mounts", "root_is_mount"]
