// Asks for what the page shows first while its scripts are on their way; they ask for the same.

if (globalThis.early === undefined) {
  globalThis.early = {};
  const device = encodeURIComponent(decodeURIComponent(location.hash.slice(1)));
  const paths = [
    `devices/${device}`,
    `devices/${device}/series`,
    `readings?device=${device}&from=-86400s&points=600&states=true`,
  ];
  for (const path of device === "" ? [] : paths) {
    globalThis.early[path] = fetch(`/api/v1/${path}`);
    // Who asks for it is told.
    globalThis.early[path].catch(() => {});
  }
}
