// Symbols to words: the inverse of the coder in kernels/entropy.c, which takes last what was put first.

const WORD = 2 ** 32;
const HALF = 2 ** 16;

/** An ANS coder of 32-bit words with a state of 64 bits, kept as two halves. */
export class Ans {
  private words = new Uint32Array(1024);
  private count = 0;
  private high = 0;
  private low = 0;

  /** Puts a symbol that has `weight` of 2^24, behind `before` of other symbols. */
  put(before: number, weight: number): void {
    // What would leave the state once the symbol is in goes to the words first.
    if (Math.floor(this.high / 256) >= weight) {
      this.push(this.low);
      this.low = this.high;
      this.high = 0;
    }
    // state / weight, by hand in steps that numbers of 53 bits hold.
    const first = Math.floor(this.high / weight);
    const next = (this.high - first * weight) * HALF + (this.low >>> 16);
    const second = Math.floor(next / weight);
    const last = (next - second * weight) * HALF + (this.low & 0xffff);
    const third = Math.floor(last / weight);
    const quotient = first * WORD + second * HALF + third;
    this.high = Math.floor(quotient / 256);
    this.low = ((quotient % 256) * 2 ** 24 + last - third * weight + before) >>> 0;
  }

  /** All words, the state behind them; none of the last is 0. */
  finish(): Uint32Array {
    if (this.high || this.low) this.push(this.low);
    if (this.high) this.push(this.high);
    return this.words.subarray(0, this.count);
  }

  private push(word: number): void {
    if (this.count === this.words.length) {
      const more = new Uint32Array(2 * this.count);
      more.set(this.words);
      this.words = more;
    }
    this.words[this.count++] = word;
  }
}
