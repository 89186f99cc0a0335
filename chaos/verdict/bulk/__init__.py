"""The quick reading of a history: arrivals, displays and finals as plain arrays, without a join or a sort.

Most of a history is arrivals, displays and finals, and most of them are as they must be. `condense` walks over them
once, in blocks, and marks each in an array that has a place for every number on every member device. A check with a
function `quick` reads its finding from the totals. Where an array proves nothing, `condense` returns None, or `quick`
does: then the check looks at the history row by row, as it is defined. The verdict is the same, byte for byte.
"""
