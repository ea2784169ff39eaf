"""
`python -m sllmbo`: the command line.
"""

from sllmbo.cli import main

if __name__ == "__main__":
    main()
