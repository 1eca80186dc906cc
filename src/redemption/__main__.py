"""``python -m redemption`` is the command line."""

from redemption.cli import main

if __name__ == "__main__":
    main()
