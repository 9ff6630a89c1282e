"""python -m azero_jax is the command azero."""

from azero_jax.commands import main

if __name__ == "__main__":
    main()
