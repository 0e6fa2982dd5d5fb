// Which part of the drawing is seen, and how large.

export interface View {
  x: number; // of the drawing, at the left edge of the window
  y: number;
  k: number; // pixels for one unit of the drawing
}

/** What is to be read at first is not drawn smaller than this. */
const LEGIBLE = 0.7;

export class Camera {
  view: View = { x: 0, y: 0, k: 1 };
  private listeners: (() => void)[] = [];

  onMove(listener: () => void): void {
    this.listeners.push(listener);
  }

  set(view: View): void {
    this.view = { ...view, k: Math.min(4, Math.max(0.002, view.k)) };
    for (const listener of this.listeners) listener();
  }

  pan(dx: number, dy: number): void {
    const { x, y, k } = this.view;
    this.set({ x: x - dx / k, y: y - dy / k, k });
  }

  /** Zooms so that the point of the window stays where it is. */
  zoom(factor: number, at: { x: number; y: number }): void {
    const { x, y, k } = this.view;
    const next = Math.min(4, Math.max(0.002, k * factor));
    this.set({ x: x + at.x / k - at.x / next, y: y + at.y / k - at.y / next, k: next });
  }

  /** All of a drawing if it can be read so, else at a size that can be read what is around its beginning; or the `whole`. */
  fit(width: number, height: number, window: { width: number; height: number }, begin: { x: number; y: number }, whole = false): void {
    const margin = 16;
    const head = 52; // where the tools are
    const [w, h] = [window.width, window.height - head];
    const all = Math.min((w - 2 * margin) / Math.max(width, 1), (h - margin) / Math.max(height, 1));
    const k = whole ? Math.min(1.25, all) : Math.min(1.25, Math.max(LEGIBLE, all));
    const from = (size: number, room: number, middle: number): number =>
      room >= size ? (size - room) / 2 : Math.max(-margin / k, Math.min(size + margin / k - room, middle - room / 2));
    this.set({ x: from(width, w / k, begin.x), y: from(height, h / k, begin.y) - head / k, k });
  }
}
