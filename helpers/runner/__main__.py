"""``python -m helpers.runner``."""

if __name__ == "__main__":  # a worker imports this module too, and must not run it
    from helpers.runner.cli import main

    main()
