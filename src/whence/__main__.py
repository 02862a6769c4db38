"""`python -m whence`, the same as the `whence` command."""

from whence.cli.main import main

if __name__ == "__main__":
    main()
