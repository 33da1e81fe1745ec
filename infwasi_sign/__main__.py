"""`infwasi` and `python -m infwasi_sign`."""

import gc

# Importing makes many objects that stay: to look for garbage among them costs and finds none.
gc.disable()

from infwasi_sign.cli import main  # noqa: E402 - the collector is off first

if __name__ == "__main__":
    main()
