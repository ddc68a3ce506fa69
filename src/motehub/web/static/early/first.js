// What is done while the scripts of a page are on their way.

if (globalThis.early === undefined) {
  globalThis.early = {};
  // What the page of a device shows first; its scripts ask for the same.
  if (location.pathname === "/device" && location.hash.length > 1) {
    const device = encodeURIComponent(decodeURIComponent(location.hash.slice(1)));
    const readings = `readings?device=${device}&from=-86400s&points=600&states=true`;
    for (const path of [`devices/${device}`, `devices/${device}/series`, readings]) {
      globalThis.early[path] = fetch(`/api/v1/${path}`);
      // Who asks for it is told.
      globalThis.early[path].catch(() => {});
    }
  }
  // Writing the first number takes a telephone 50 ms.
  (0).toLocaleString();
}
