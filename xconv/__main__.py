"""``python -m xconv`` is the command ``xconv``, where its script is not on the path."""

from xconv.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
