"""Card readers at their serial port: the bytes, the pace and the faults of real devices.

A reader knows tracks and bytes, never messages, points or the firmware's state.
"""
