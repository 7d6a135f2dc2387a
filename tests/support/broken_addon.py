"""Starts mitmproxy as proxy.addon.main does, with hooks of the addon that fail; run by mitmproxy's Python.

    python -I broken_addon.py 'SETTINGS AS JSON' MAIN.PY WHAT...

WHAT: "hook" (raises as mitmproxy calls it), "inner:METHOD" (raises where the addon works), "no audit".
"""

import importlib.util
import sys


def broken(*_):
    raise ZeroDivisionError("injected")


main_file, *what = sys.argv[2:]
spec = importlib.util.spec_from_file_location("addon_main", main_file)
main = importlib.util.module_from_spec(spec)
spec.loader.exec_module(main)
importing = main.import_proxy


def import_and_break():
    importing()
    from proxy.addon.pin import SnapshotPin

    for word in what:
        name = word.removeprefix("inner:")
        if name != "no audit":
            assert hasattr(SnapshotPin, name), name
            setattr(SnapshotPin, name, broken)


main.import_proxy = import_and_break
if "no audit" in what:
    main.only_to = lambda *_: None
main.main()
