"""Sums in registers: loops that are compiled for a layer, over the memory of any framework's arrays.

From the inside out: ``code`` writes loops and vectors as LLVM's text, ``linked`` makes functions of it, ``functions``
and ``objectcache`` keep them, ``program`` works off a schedule of tiles, ``phases`` and ``grouping`` are the geometry,
``tiled`` with ``dense`` and ``narrow``, ``depthwise``, ``weights`` and ``depthwise_weights`` the tiles of each kind of
layer, ``panels`` and ``transposed`` bring numbers into another order, ``prepared`` chooses, ``team`` has the threads,
``executable`` asks whether the system allows it, and ``formulation`` is what a backend takes. llvmlite is imported when
something is compiled or linked.
"""
