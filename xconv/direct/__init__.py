"""Convolutions summed in vector registers, by loops that LLVM compiles for each layer.

From the inside out: ``processor`` says what the loops are compiled for, ``code`` writes them as LLVM's text, ``linked``
makes functions of it, ``functions`` and ``objectcache`` keep these, ``program`` runs a schedule of tiles, ``phases``
says what each place reads and writes, ``grouping`` which places a tile takes together, ``tiled`` with ``dense`` and
``narrow``, ``depthwise``, ``weights`` and ``depthwise_weights`` are the methods for each kind of layer, ``repeated``
turns small groups into depthwise layers, ``order``, ``panels`` and ``transposed`` copy arrays into another order,
``prepared`` chooses a method, ``team`` runs threads, ``executable`` and ``availability`` ask whether the system allows
it, and ``formulation`` is what a backend uses. llvmlite is imported when something is compiled or linked.
"""
