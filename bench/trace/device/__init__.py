"""The device view of a trace: the same schedule as straight-line C would run it.

The torch view of a step is what torch's allocator holds: a tensor lives as long as Python names it,
and every operator has memory of its own for its result. C with a planned arena needs less:

* **Values.** What lives is not a storage but what it holds: from its first write to its last read.
  A storage that is overwritten as a whole (``out=``, ``copy_``, ``zero_``, a kernel's result)
  holds another value from then on. What is written in part, or added to by a product, stays one.
* **In place.** The result of an element-wise operator (of a softmax or batch norm, too) takes the
  place of an operand that nobody reads any more and that has as many bytes, if every element
  depends on the one at its own place only. Never of a narrower or a wider one.
* **Computed where it is read.** A result of copying, converting, comparing, unpacking bits or
  scaling by a number needs no memory, however often it is read; one of arithmetic if it is computed
  at most twice. Products and sums are never computed twice: a sum stays in a register if one
  element, or one row, of one loop needs it; a product is stored, except that it may be converted to
  another type as it is stored. A product reads each element of one operand once, if it adds up in
  its result's memory. What such results are computed from has to live, unchanged, until then: so
  this is done only where it lowers the peak.
* **Lent parts.** Where a step saves a part of its input, writes something mere in its place (a
  label in the first pixels) and puts it back, whoever reads the input looks at that instead.
* **Registers.** Numbers: a tensor of one element, of up to eight bytes. So are the numbers and
  converted copies that torch allocates inside its operators, and constants made of Python's numbers
  are part of the program. A row of sums which a kernel can round only when all are known is memory;
  other workspace of kernels (widened copies, tables of sums) is not needed by plain loops.
* **Bits and labels.** A tensor of truths has a bit per element. Integers that the trace shows to be
  labels of at most 256 classes are bytes. Bits that a rule packs in rows of whole bytes stay so.
* **Loops.** A loop over tiles is in the trace twice, for its first tile and for all others: what it
  reads and does not make lives until it ends. What every pass changes in place, as micro-batches
  add up gradients, is one value from before the loop until after it. What all passes read is
  computed in each of them if it is not stored; of what each reads a part, each has its own.

What was found before the step is not part of the view's blocks: it is there all the time.
Operators are not reordered, and one that the table does not know shares nothing.
"""

from trainfit.bench.trace.device.block import Block
from trainfit.bench.trace.device.view import DeviceView, device_view

__all__ = ["Block", "DeviceView", "device_view"]
