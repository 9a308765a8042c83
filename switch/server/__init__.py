"""Composition of the switch: listeners, the pipeline from frame to answer, engine, clocks, logs.

The only place in the switch that knows sockets, threads and time. It decides nothing about points.
"""
