// Reads Parquet files with hyparquet: prints as JSON what columns they say they have, and all rows.

import { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects } from "hyparquet";
import { compressors } from "hyparquet-compressors";

const { files } = JSON.parse(process.argv[2]);

// Exact to the microsecond, which a Date of JavaScript is not.
const parsers = {
  timestampFromMilliseconds: (value) => value * 1000n,
  timestampFromMicroseconds: (value) => value,
  timestampFromNanoseconds: (value) => value / 1000n,
};

const plain = (_, value) =>
  typeof value === "bigint" || (typeof value === "number" && !Number.isFinite(value))
    ? String(value)
    : value;

const kind = ({ logical_type: logical, converted_type: converted }) =>
  logical?.type === "TIMESTAMP"
    ? `TIMESTAMP, ${logical.unit}, ${logical.isAdjustedToUTC ? "UTC" : "local"}`
    : (converted ?? null);

const found = [];
for (const path of files) {
  const file = await asyncBufferFromFile(path);
  const metadata = await parquetMetadataAsync(file);
  const rows = await parquetReadObjects({ file, metadata, compressors, parsers });
  const [, ...columns] = metadata.schema;
  found.push({
    columns: columns.map((one) => [one.name, one.type, kind(one)]),
    codecs: [...new Set(metadata.row_groups.flatMap((g) => g.columns.map((c) => c.meta_data.codec)))],
    rows,
  });
}
console.log(JSON.stringify(found, plain));
