"""`infwasi` and `python -m infwasi_sign`."""

from infwasi_sign.cli import main

if __name__ == "__main__":
    main()
