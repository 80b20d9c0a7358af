/**
 * Whole lines out of chunks that end anywhere, also in the middle of a character. `end` gives what is left: a last line
 * without a newline. A line longer than `maxLength` is cut in pieces, so that no writer can fill our memory.
 */
export interface LineSplitter {
  push(chunk: Uint8Array): string[];
  end(): string[];
}

export function newLineSplitter(maxLength = 1024 * 1024): LineSplitter {
  const decoder = new TextDecoder();
  let rest = '';
  const take = (text: string): string[] => {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    if (rest.length < maxLength) return lines;
    const piece = rest;
    rest = '';
    return [...lines, piece];
  };
  return {
    push: (chunk) => take(decoder.decode(chunk, { stream: true })),
    end: () => {
      const lines = take(decoder.decode());
      const last = rest;
      rest = '';
      return last === '' ? lines : [...lines, last];
    },
  };
}
