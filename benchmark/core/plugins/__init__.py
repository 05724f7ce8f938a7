"""Code from outside: what a file, a module or an installed package adds to the suite, and how it is known again."""
