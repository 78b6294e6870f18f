"""`python -m loop` is `prlore`."""

from loop.cli import main

if __name__ == "__main__":
    main()
