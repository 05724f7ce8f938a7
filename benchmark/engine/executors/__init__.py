"""Many runs: in this process, in several beside each other, or on the machines of a Ray cluster.

:func:`benchmark.engine.executors.execute.execute` is the way in.
"""
