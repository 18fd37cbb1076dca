"""`python -m slcolm_services` is the `slcolm` command."""

from slcolm_services.cli import main

main()
