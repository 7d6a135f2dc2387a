"""python -m proxy is snapshot-proxy."""

from proxy.cli import main

main()
