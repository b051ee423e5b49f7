"""`python -m escalon`."""

from escalon.cli import main

main()
