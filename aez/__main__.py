"""`python -m aez` is the command `aez`."""

from aez.cli import main

if __name__ == "__main__":
    main()
