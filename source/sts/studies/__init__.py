"""The named stages of every study, in order; no study imports another.

>>> from pathlib import Path
>>> from sts.studies.data.simulate import SimulateJob, plan_simulation
>>> job = SimulateJob(cells=3, seed=0, out=Path("somewhere/new"))
>>> len(plan_simulation(job))
3
"""
