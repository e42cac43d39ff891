"""sm_90a machine code as `cuobjdump -sass` prints it: a kernel becomes basic blocks, their control-flow graph and its
loops. A block is named by its first address."""
import collections
import functools
import heapq
import pathlib
import re
import shutil
import subprocess
import sysconfig

LINE = re.compile(r"\s+/\*([0-9a-f]{4,})\*/\s+(?:@(!?U?P\w+) )?([A-Z][\w.]*)\s*([^;]*);")
STORES = {"ST", "STG", "STS", "STL", "RED", "ATOMS"}
JUMPS = {"BRA", "JMP"}
ENDS = JUMPS | {"EXIT", "RET", "BRX", "BRXU", "JMX", "JMXU", "KILL"}  # BSYNC, BREAK, WARPSYNC, CALL fall through


def tool(name):
    in_venv = sorted(pathlib.Path(sysconfig.get_path("purelib")).glob(f"nvidia/cu*/bin/{name}"))
    path = shutil.which(name) or (in_venv and str(in_venv[-1]))
    assert path, f"no {name} on PATH or in this Python's packages (sh cmake/bootstrap.sh test installs it)"
    return path


def kernels(path):
    """(demangled name, its code as text) of every kernel in an object or library."""
    beside = pathlib.Path(tool("nvdisasm")).parent  # cuobjdump looks for it on PATH
    dump = subprocess.run([tool("cuobjdump"), "-sass", path], capture_output=True, text=True, check=True,
                          env={"PATH": f"{beside}:/usr/bin:/bin"}).stdout
    parts = re.split(r"\n\s*Function : (\S+)\n", dump)[1:]
    names = subprocess.run(["c++filt"], input="\n".join(parts[::2]), capture_output=True, text=True, check=True).stdout
    return list(zip(names.split("\n"), parts[1::2]))


class Instruction:
    def __init__(self, address, guard, opcode, operands):
        self.address, self.guard, self.opcode = int(address, 16), guard or "", opcode
        self.base = opcode.split(".")[0]
        self.text = operands.strip()
        self.operands = [part.strip() for part in self.text.replace(".reuse", "").split(",")]
        found = re.search(r"\b0x([0-9a-f]+)$", self.text)
        self.target = int(found.group(1), 16) if found else None
        self.writes = self._writes()

    def is_conditional(self):
        return bool(self.guard) or ".DIV" in self.opcode or re.match(r"!?U?P\d", self.text) is not None

    def _writes(self):
        """The register and the predicates that it writes: `R1`, `R1, P0, P1`, `P0, P1` or `P0, R1`."""
        if self.base in STORES | ENDS:
            return set()
        shape = "".join("P" if re.fullmatch(r"U?P[\dT]", operand) else "R" if re.fullmatch(r"U?R[\dZ]+", operand)
                        else "-" for operand in self.operands[:3])
        named = self.operands[:re.match("RP{0,2}|PR|P{0,2}", shape).end()]
        return set(named).union(*(self._beside(name) for name in named if re.fullmatch(r"R\d+", name)))

    def _beside(self, register):
        """The registers after it that are written too. (A double is known by its first.)"""
        wide = re.search(r"\.(64|128)\b", self.opcode) if self.base.startswith("LD") else None
        pair = self.base == "CS2R" and ".32" not in self.opcode or self.opcode.startswith("IMAD.WIDE")
        count = int(wide.group(1)) // 32 if wide else 2 if pair else 1
        return {f"R{int(register[1:]) + k}" for k in range(1, count)}


class Function:
    def __init__(self, text):
        self.code = [Instruction(*found) for found in LINE.findall(text)]
        self.blocks = self._cut()
        # of a block: what is written -> where, the last first
        self.writers = {block: collections.defaultdict(list) for block in self.blocks}
        for block, code in self.blocks.items():
            for k in range(len(code) - 1, -1, -1):
                for name in code[k].writes:
                    self.writers[block][name].append(k)
        self.successors = self._connect()
        self.predecessors = collections.defaultdict(list)
        for block, onward in self.successors.items():
            for target in onward:
                self.predecessors[target].append(block)
        self.loops, self.back = {}, set()  # header -> its blocks; (from, header)
        self._find_loops()

    def _cut(self):
        addresses = {i.address for i in self.code}
        starts = {i.target for i in self.code if i.base in JUMPS | {"CALL"}} & addresses
        blocks, first = {}, self.code[0].address
        for i in self.code:
            first = i.address if i.address in starts else first
            blocks.setdefault(first, []).append(i)
            if i.base in ENDS:
                first = i.address + 16
        return blocks

    def _connect(self):
        following = dict(zip(self.blocks, list(self.blocks)[1:]))
        successors = {}
        for block, code in self.blocks.items():
            last = code[-1]
            onward = [last.target] if last.base in JUMPS and last.target in self.blocks else []
            if (last.base not in ENDS or last.is_conditional()) and block in following:
                onward.append(following[block])
            successors[block] = onward
        return successors

    def _postorder(self):
        order, seen = [], {self.code[0].address}
        stack = [(self.code[0].address, iter(self.successors[self.code[0].address]))]
        while stack:
            block, rest = stack[-1]
            onward = next((target for target in rest if target not in seen), None)
            if onward is None:
                order.append(stack.pop()[0])
            else:
                seen.add(onward)
                stack.append((onward, iter(self.successors[onward])))
        return order

    def _find_loops(self):
        """Natural loops, by immediate dominators (Cooper, Harvey and Kennedy)."""
        order = self._postorder()[::-1]
        number = {block: k for k, block in enumerate(order)}
        above = {order[0]: order[0]}

        def meet(a, b):
            while a != b:
                a, b = (above[a], b) if number[a] > number[b] else (a, above[b])
            return a
        changed = True
        while changed:
            changed = False
            for block in order[1:]:
                found = functools.reduce(meet, [b for b in self.predecessors[block] if b in above])
                changed |= above.get(block) != found
                above[block] = found
        for block in order:
            for header in self.successors[block]:
                if meet(header, block) == header:
                    self.back.add((block, header))
                    body, stack = self.loops.setdefault(header, {header}), [block]
                    while stack:
                        inside = stack.pop()
                        if inside not in body:
                            body.add(inside)
                            stack += [b for b in self.predecessors[inside] if b in number]

    def definitions(self, block, k, name, such=lambda i: True):
        """(block, index) of what writes a register or predicate, is `such`, and reaches instruction k of a block."""
        found, seen, stack = [], set(), [(block, k)]
        while stack:
            block, k = stack.pop()
            for j in self.writers[block].get(name, ()):
                if j < k and such(self.blocks[block][j]):
                    found.append((block, j))
                    if not self.blocks[block][j].guard:
                        break
            else:
                onward = set(self.predecessors[block]) - seen
                seen |= onward
                stack += [(b, len(self.blocks[b])) for b in onward]
        return found

    @functools.cached_property
    def _returns(self):
        return {}

    def call(self, entry):
        """What a call executes at least: the blocks of the shortest way to a RET."""
        if entry not in self._returns:
            heap, done = [(0, entry, ())], set()
            while heap:
                cost, block, path = heapq.heappop(heap)
                if block in done:
                    continue
                done.add(block)
                path += (block,)
                if self.blocks[block][-1].base == "RET":
                    self._returns[entry] = path
                    break
                for onward in self.successors[block]:
                    heapq.heappush(heap, (cost + len(self.blocks[block]), onward, path))
        return self._returns[entry]
