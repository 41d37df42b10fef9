//! Words that are kept as text: in columns, in what is signed, in JSON.

/// Enums whose variants are words.
macro_rules! words {
    ($($(#[$meta:meta])* $name:ident { $($(#[$of:meta])* $variant:ident = $text:literal,)+ })+) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "snake_case")]
        #[cfg_attr(feature = "orm", derive(sea_orm::EnumIter, sea_orm::DeriveActiveEnum))]
        #[cfg_attr(feature = "orm", sea_orm(rs_type = "String", db_type = "Text"))]
        pub enum $name {
            $($(#[$of])* #[cfg_attr(feature = "orm", sea_orm(string_value = $text))] $variant,)+
        }

        impl $name {
            /// The word.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }
    )+};
}
pub(crate) use words;
